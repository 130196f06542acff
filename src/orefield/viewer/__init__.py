"""The live viewer: a page in the browser, of a run that trains or of one that is read back."""

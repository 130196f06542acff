"""From rays to pixels: the density pass, colors, volume rendering of whole views."""

"""What goes wrong on the caller's side. Torch-free: the command line needs it at once."""


class OrefieldError(ValueError):
    """Something the caller gave cannot be used; the message names it and says what was expected."""


class ConfigError(OrefieldError):
    """A setting outside its range, or a configuration file that does not fit this version."""


class SceneError(OrefieldError):
    """A scene on disk that cannot be read; the message names the file and the field."""


class RunError(OrefieldError):
    """A run folder that cannot be read or written; the message names the file and the field."""

"""The result of a worker: a dict whose keys are attributes, too."""


class _DotDict(dict):
    """Access items as attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    __setattr__ = dict.__setitem__
    __delattr__ = dict.__delitem__

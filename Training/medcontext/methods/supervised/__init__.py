"""Plain supervised training: the yardstick of every comparison."""

from medcontext.methods.supervised.method import Supervised, SupervisedConfig

__all__ = ["Supervised", "SupervisedConfig"]

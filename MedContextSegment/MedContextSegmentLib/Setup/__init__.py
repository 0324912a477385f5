"""The surroundings: the package, what must be installed, settings of the machine, samples, the doctor."""

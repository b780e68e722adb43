"""Many runs one after another, each in a process of its own; see hydra_plugins/ for Hydra."""

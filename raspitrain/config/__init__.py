"""From YAML files and words to one checked configuration, and from it to objects."""

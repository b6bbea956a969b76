"""The parts of `toolslot demo` that need no framework: bank, story, judge, and the life of agents."""

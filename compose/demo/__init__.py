"""The main job, shown from end to end on this machine. `dragoman demo` runs it."""

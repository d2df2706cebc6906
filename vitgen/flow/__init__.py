"""The steps of a build, resumable; their state lives as JSON in the build directory."""

"""What every room may use and no network is needed for: errors, files, registry, progress, parsing."""

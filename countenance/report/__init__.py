"""Reports as one HTML file each: no network, no scripts, pictures inside."""

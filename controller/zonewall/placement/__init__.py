"""Where endpoints are: hosts, bindings, announcements, paths."""

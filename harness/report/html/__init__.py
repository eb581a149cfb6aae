"""The HTML report: one file that needs neither a network nor a server."""

"""The subcommands of `trapgate`, one file each."""

"""What the command line does; `inframind.plugin.cli` declares it and loads a module when it is called."""

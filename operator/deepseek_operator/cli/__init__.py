"""What the command line does besides running the controller: size, plan, reasons."""

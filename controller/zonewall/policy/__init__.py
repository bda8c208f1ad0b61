"""What the operator wrote: documents read, checked and turned into one frozen Configuration."""

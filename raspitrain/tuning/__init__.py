"""What is settled by measuring on the machine: threads, and when to change them."""

"""What scores on a machine without vibro: modules of numpy alone, and how they become one script."""

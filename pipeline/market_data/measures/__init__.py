"""What is computed from accepted bars and actions before anything is measured on them."""

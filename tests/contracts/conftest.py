"""What pytest must not import here: `toyboard` registers its parts, and is for other processes."""

collect_ignore = ["toyboard"]

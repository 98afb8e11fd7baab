"""report.html: its data, its page, its Markdown form and the files of other viewers."""

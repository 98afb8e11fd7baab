"""Intel OpenVINO: its table, and the writer of its folder."""

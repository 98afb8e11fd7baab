"""The rules that say what Intel OpenVINO will not take."""

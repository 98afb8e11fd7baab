"""Preprocessing as data: how an image becomes the network's input tensor."""

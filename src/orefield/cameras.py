"""Cameras: pixel to ray and ray to pixel.

Pixel (x, y) counts from the image's top left corner; the centre of the first pixel is (0.5, 0.5).
Camera axes are OpenCV's: x right, y down, z forward. A pose is camera-to-scene, `[R | c]`, 3 x 4.
"""

"""Scenes: photographs with known camera poses, read from disk or computed."""

from orefield.scenes.in_memory import scene_of_views as scene_of_views
from orefield.scenes.load import open_scene as open_scene
from orefield.scenes.pixel_sampler import PixelSampler as PixelSampler
from orefield.scenes.scene import Scene as Scene
from orefield.scenes.scene import SceneWarning as SceneWarning
from orefield.scenes.scene import View as View
from orefield.scenes.scene import describe as describe

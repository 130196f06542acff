"""Cameras: pixel to ray and ray to pixel."""

from orefield.cameras.camera import Camera as Camera
from orefield.cameras.camera import border_directions as border_directions
from orefield.cameras.camera import panorama as panorama
from orefield.cameras.camera import pixel_centers as pixel_centers
from orefield.cameras.camera import pixel_directions as pixel_directions
from orefield.cameras.camera import project as project
from orefield.cameras.camera import view_rays as view_rays
from orefield.cameras.lenses import Lens as Lens

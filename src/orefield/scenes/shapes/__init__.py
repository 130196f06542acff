"""The embedded scene `shapes`: a computed still life with exact poses, alpha and depth."""

from orefield.scenes.shapes.scene import ANGLE_X as ANGLE_X
from orefield.scenes.shapes.scene import RESOLUTION as RESOLUTION
from orefield.scenes.shapes.scene import TEST_VIEWS as TEST_VIEWS
from orefield.scenes.shapes.scene import TRAIN_VIEWS as TRAIN_VIEWS
from orefield.scenes.shapes.scene import VERSION as VERSION
from orefield.scenes.shapes.scene import hemisphere_poses as hemisphere_poses
from orefield.scenes.shapes.scene import render_shapes as render_shapes
from orefield.scenes.shapes.scene import write_shapes as write_shapes

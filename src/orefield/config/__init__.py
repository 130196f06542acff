"""Every setting of a run, once: its default, its help text and its entry in config.json.

One frozen dataclass per part, composed by `RunConfig`. Nothing here imports torch, so that `--help`
answers at once. Lengths are in scene units (the scene's box is the unit cube). A setting that is
None is chosen once the scene is known: by a preset (presets.py) or by the budget (budget.py).
"""

from orefield.config.budget import expected_samples as expected_samples
from orefield.config.budget import fit_to_budget as fit_to_budget
from orefield.config.calibration import CalibrationConfig as CalibrationConfig
from orefield.config.facts import SceneFacts as SceneFacts
from orefield.config.model import FieldConfig as FieldConfig
from orefield.config.model import SamplerConfig as SamplerConfig
from orefield.config.presets import resolve_preset as resolve_preset
from orefield.config.proposal import ProposalConfig as ProposalConfig
from orefield.config.require import chosen as chosen
from orefield.config.run import RunConfig as RunConfig
from orefield.config.scene import SceneConfig as SceneConfig
from orefield.config.serialization import changed as changed
from orefield.config.serialization import from_dict as from_dict
from orefield.config.serialization import to_dict as to_dict
from orefield.config.training import Background as Background
from orefield.config.training import FixedShapesConfig as FixedShapesConfig
from orefield.config.training import MiningConfig as MiningConfig
from orefield.config.training import OptimConfig as OptimConfig
from orefield.config.training import Rule as Rule
from orefield.errors import ConfigError as ConfigError

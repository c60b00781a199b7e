"""Which tables there are, and the columns of each."""

from collections.abc import Mapping
from typing import Literal, get_args

import pyarrow as pa

TrialTable = Literal["trials", "steps", "scores", "images", "pictures"]
"""What trainings write."""
TableName = Literal[TrialTable, "evaluations", "evaluated_images"]
TRIAL_TABLES: tuple[TrialTable, ...] = get_args(TrialTable)
TABLES: tuple[TableName, ...] = get_args(TableName)

_TRIAL = [("study", pa.string()), ("trial_id", pa.string()), ("attempt", pa.int32())]
_EVALUATION = [
    ("study", pa.string()),
    ("evaluation", pa.string()),  # which: 16 hexadecimal digits, also the name of its file
    ("trial_id", pa.string()),  # null of ensembles, and of masks that another program predicted
    ("arm", pa.string()),
    ("seed", pa.int64()),
]
_SCORE = [
    ("class_name", pa.string()),
    ("metric", pa.string()),
    ("protocol", pa.string()),
    ("value", pa.float64()),
]
_RESOLUTION = ("resolution", pa.string())  # of the masks compared: 128x192 (height first) or image
SCHEMAS: Mapping[TableName, pa.Schema] = {
    "trials": pa.schema(
        [
            *_TRIAL,
            ("role", pa.string()),  # arm | tune | search | finalist: what the trial is for
            ("arm", pa.string()),  # null in a search
            ("seed", pa.int64()),
            ("fold", pa.int64()),  # part of a cross-validation, from 0, else null
            ("number", pa.int64()),  # of a search's or a tuning's candidate, else null
            ("status", pa.string()),  # running, finished, pruned, failed or cancelled
            ("error", pa.string()),
            ("config", pa.string()),  # JSON
            ("changes", pa.string()),  # JSON: dotted field -> value, against the baseline
            ("config_hash", pa.string()),
            ("train_run", pa.string()),
            ("git_commit", pa.string()),
            ("git_dirty", pa.bool_()),
            (
                "study_commit",
                pa.string(),
            ),  # of the study's file, where it has a repository of its own
            ("versions", pa.string()),  # JSON: package -> version
            ("command", pa.string()),  # that ran the study
            ("device", pa.string()),
            ("workers", pa.int32()),
            ("data_hash", pa.string()),
            ("weights_hash", pa.string()),
            ("trainable_parameters", pa.int64()),
            ("total_parameters", pa.int64()),
            ("microbatch_size", pa.int32()),  # of a worker; null: its whole share
            ("adapted_lr", pa.float64()),  # peak rate of what the method adapts, else null
            ("epochs", pa.int64()),
            ("best_epoch", pa.int64()),
            ("stopped_epoch", pa.int64()),  # after which a scheduler stopped it, else null
            ("seconds", pa.float64()),  # of this attempt, until its last row
            ("price_per_hour", pa.float64()),  # of the attempt's share of a machine, else null
            ("currency", pa.string()),
            ("started", pa.timestamp("us", tz="UTC")),
            ("ended", pa.timestamp("us", tz="UTC")),
        ]
    ),
    "steps": pa.schema(
        [
            *_TRIAL,
            ("step", pa.int64()),
            ("epoch", pa.int64()),
            ("loss", pa.float64()),
            ("lr", pa.float64()),  # of the head
            ("gradient_norm", pa.float64()),  # before it was clipped
            ("seconds_data", pa.float64()),
            ("seconds_forward", pa.float64()),
            ("seconds_backward", pa.float64()),
            ("seconds_optimizer", pa.float64()),
            ("seconds_refresh", pa.float64()),
            ("images_per_second", pa.float64()),
            ("reduced_bytes", pa.int64()),  # handed over to be summed over workers
            ("weights_bytes", pa.int64()),
            ("gradient_bytes", pa.int64()),
            ("optimizer_state_bytes", pa.int64()),
            ("peak_memory_bytes", pa.int64()),
            ("cpus_used", pa.float64()),  # on average since the evaluation before
            ("gpu_utilisation", pa.float64()),  # likewise, a share; null without a GPU
            ("gpu_memory_bytes", pa.int64()),  # taken on the device, by whomever
        ]
    ),
    "scores": pa.schema(
        [
            *_TRIAL,
            ("step", pa.int64()),
            ("epoch", pa.int64()),
            ("split", pa.string()),
            _RESOLUTION,
            *_SCORE,
            ("n", pa.int64()),
            ("direction", pa.string()),  # maximize or minimize: which values are better
            ("unit", pa.string()),  # fraction, px, mm or another
            ("label", pa.string()),  # the metric as it is written for a person
            ("prompts", pa.string()),  # boxes that the system was told: none, truth, ...
        ]
    ),
    "images": pa.schema(
        [
            *_TRIAL,
            ("split", pa.string()),
            _RESOLUTION,
            ("sample_id", pa.string()),  # of a case's value, the case's
            ("patient_id", pa.string()),
            ("scope", pa.string()),  # whether the value is of the image or of its case
            ("case_id", pa.string()),  # the volume that the image is a slice of, or the sample
            *_SCORE,
        ]
    ),
    "pictures": pa.schema(
        [
            *_TRIAL,
            ("split", pa.string()),
            ("sample_id", pa.string()),
            ("kind", pa.string()),  # image, depth, truth, prediction, or a map of the system's own
            ("png", pa.binary()),
        ]
    ),
    "evaluations": pa.schema(
        [
            *_EVALUATION,
            ("data", pa.string()),  # name of the data set
            ("settings", pa.string()),  # JSON: dotted field -> value, as of `evaluations.Setting`
            ("data_hash", pa.string()),
            ("split", pa.string()),  # of that data set
            _RESOLUTION,
            *_SCORE,
            ("n", pa.int64()),
            ("direction", pa.string()),
            ("unit", pa.string()),
            ("label", pa.string()),
            ("prompts", pa.string()),
            ("source", pa.string()),  # checkpoint, ensemble or predictions
            ("source_hash", pa.string()),  # of the trained tensors, or of the masks
            ("members", pa.list_(pa.string())),  # trials, or folders, of an ensemble; else null
            ("device", pa.string()),
            ("git_commit", pa.string()),
            ("git_dirty", pa.bool_()),
            ("command", pa.string()),
            ("evaluated", pa.timestamp("us", tz="UTC")),
        ]
    ),
    "evaluated_images": pa.schema(
        [
            *_EVALUATION,
            ("split", pa.string()),
            _RESOLUTION,
            ("sample_id", pa.string()),
            ("patient_id", pa.string()),
            ("scope", pa.string()),
            ("case_id", pa.string()),
            *_SCORE,
        ]
    ),
}
KEYS: Mapping[TableName, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "steps": ("trial_id", "step"),
    "scores": ("trial_id", "epoch", "split", "resolution", "class_name", "metric", "protocol"),
    "images": ("trial_id", "split", "resolution", "sample_id", "class_name", "metric", "protocol"),
    "pictures": ("trial_id", "split", "sample_id", "kind"),
}
"""What makes a row of a trial's table one of a kind, attempts apart."""

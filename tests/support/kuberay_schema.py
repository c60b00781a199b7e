"""What a RayCluster and a RayJob of KubeRay 1.7.0 may say, as far as ours say it.

Written by hand with the field names of ray.io/v1, not derived from the CRDs, which have 2.3 MB:
fields that our files do not use are refused like misspelt ones. `SEGTUNE_KUBERAY_CRDS` makes the
tests hold the files, and the fields named here, against the CRDs themselves.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
COUNT: Schema = {"type": "integer", "minimum": 0}
TEXTS: Schema = {"type": "object", "additionalProperties": TEXT}
QUANTITY: Schema = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|k|[KMGT]i|[MGT])?$"}
QUANTITIES: Schema = {"type": "object", "additionalProperties": QUANTITY}


def table(required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """An object with these fields and no other."""
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


def many(items: Schema) -> Schema:
    """A list of one or more."""
    return {"type": "array", "items": items, "minItems": 1}


def one_of(*values: str) -> Schema:
    """One of these words."""
    return {"enum": list(values)}


def named(kind: str, api: str, spec: Schema) -> Schema:
    """A whole Kubernetes object."""
    metadata = table(name=TEXT, generateName=TEXT, labels=TEXTS) | {"minProperties": 1}
    return table(
        ("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api},
        kind={"const": kind},
        metadata=metadata,
        spec=spec,
    )


CONTAINER = table(
    ("name", "image", "resources"),
    name=TEXT,
    image=TEXT,
    ports=many(table(("containerPort",), name=TEXT, containerPort=COUNT)),
    resources=table(("requests", "limits"), requests=QUANTITIES, limits=QUANTITIES),
    volumeMounts=many(table(("name", "mountPath"), name=TEXT, mountPath=TEXT)),
)
POD = table(
    ("containers",),
    nodeSelector=TEXTS,
    tolerations=many(
        table(
            key=TEXT,
            operator=one_of("Exists", "Equal"),
            value=TEXT,
            effect=one_of("NoSchedule", "NoExecute", "PreferNoSchedule"),
        )
    ),
    securityContext=table(runAsNonRoot=FLAG, runAsUser=COUNT, runAsGroup=COUNT, fsGroup=COUNT),
    containers=many(CONTAINER),
    volumes=many(
        table(("name",), name=TEXT, persistentVolumeClaim=table(("claimName",), claimName=TEXT))
    ),
)
TEMPLATE = table(("spec",), spec=POD)
CLUSTER_SPEC = table(
    ("headGroupSpec",),
    rayVersion=TEXT,
    authOptions=table(mode=one_of("disabled", "token")),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=table(
        version=one_of("v1", "v2"),
        upscalingMode=one_of("Default", "Aggressive", "Conservative"),
        idleTimeoutSeconds=COUNT,
    ),
    headGroupSpec=table(("template",), rayStartParams=TEXTS, template=TEMPLATE),
    workerGroupSpecs=many(
        table(
            ("groupName", "minReplicas", "maxReplicas", "template"),
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            rayStartParams=TEXTS,
            template=TEMPLATE,
        )
    ),
)
JOB_SPEC = table(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=TEXT,
    backoffLimit=COUNT,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    rayClusterSpec=CLUSTER_SPEC,
)
CLAIM_SPEC = table(
    ("accessModes", "resources"),
    accessModes=many(one_of("ReadWriteMany")),
    storageClassName=TEXT,
    resources=table(("requests",), requests=QUANTITIES),
)
MONITOR_SPEC = table(
    ("selector", "podMetricsEndpoints"),
    selector=table(matchLabels=TEXTS),
    podMetricsEndpoints=many(table(("port",), port=TEXT, interval=TEXT)),
)

SCHEMAS: dict[str, Schema] = {
    "kuberay/raycluster.yaml": named("RayCluster", "ray.io/v1", CLUSTER_SPEC),
    "kuberay/rayjob.yaml": named("RayJob", "ray.io/v1", JOB_SPEC),
    "kuberay/storage.yaml": named("PersistentVolumeClaim", "v1", CLAIM_SPEC),
    "monitoring/podmonitor.yaml": named("PodMonitor", "monitoring.coreos.com/v1", MONITOR_SPEC),
}
"""By file under cluster/."""

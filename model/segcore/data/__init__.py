"""Data sets by name."""

from collections.abc import Mapping

from segcore.registry import Entry

DATASETS: Mapping[str, Entry] = {
    "synthetic_liver": Entry(
        "segcore.data.synthetic_liver:SyntheticLiver",
        "procedural laparoscopic scenes with ridge, silhouette and ligament",
    ),
    "l3d": Entry(
        "segcore.data.l3d:L3D",
        "L3D: liver landmarks of 39 patients as labelme polylines, with depth",
    ),
    "l3d_2k": Entry(
        "segcore.data.l3d_2k:L3D2K",
        "L3D-2K: the larger L3D, in the layout of D2GPLand+",
    ),
    "llsd": Entry(
        "segcore.data.llsd:LLSD",
        "LLSD: liver landmarks as colour masks, a folder per patient, no depth",
    ),
    "kvasir_sessile": Entry(
        "segcore.data.kvasir_sessile:KvasirSessile",
        "Kvasir-Sessile: 196 sessile polyps, binary masks, no depth",
    ),
    "cvc_clinicdb": Entry(
        "segcore.data.cvc_clinicdb:CVCClinicDB",
        "CVC-ClinicDB: 612 polyp frames of 29 sequences, split by sequence, no depth",
    ),
    "folder": Entry(
        "segcore.data.folder:Folder",
        "any folder of images and mask pictures, described by its fields",
    ),
}

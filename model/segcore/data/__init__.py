"""Data sets by name.

augment        Augmentation, seeded per sample and epoch; image, depth and mask move together.
contact_sheet  Pictures of samples: image, depth and truth side by side, and what augmentation makes
               of them.
dataset        What every dataset offers: named samples of fixed splits, decoded to arrays.
decoded        Decoded samples on a disk of this node, mapped into memory by all trainings that run
               on it.
faults         One error that lists everything wrong with a folder of data.
frame_folder   A data set that is a folder of images with labels: checked whole, then decoded one
               by one.
frames         The files of a data folder: every one is read once, checked and hashed.
labelme        Polylines and boxes as the labelme annotation tool stores them, and the masks
               drawn of lines.
loader         From samples to batches: the order of an epoch, each worker's share, tensors.
mask_folder    Folders of images and mask pictures of the same name: finding and checking the
               pairs.
masks          Masks as pictures: from grey levels or colours to labels, and what is odd about
               them.
nnunet_layout  nnU-Net's raw layout: the names, and writing it.
pixels         Image and depth files as arrays, and arrays at the size that a network sees.
prompts        Box prompts: made from the truth after augmentation, so that they fit what the system
               sees.
separation     What is tested must not have been trained or selected on: no image and no patient
               of it.
splits         Which group of images (patient, sequence) belongs to which split.
survey         What is in a data folder: counts, sizes and everything that is odd, even where it
               is faulty.
scenes/        Rendered scenes: liver, polyps, organs and fields to train on, generic ones to
               pretrain on.
sets/          The data sets, one file each.
volumes/       Volumes, whose axial slices are what a network sees.
"""

from segcore.tables import Table

DATASETS = Table("DATASETS", "segcore.data", "data set")
DATASETS.add(
    "synthetic_liver",
    "segcore.data.sets.synthetic_liver:SyntheticLiver",
    "procedural laparoscopic scenes with ridge, silhouette and ligament",
)
DATASETS.add(
    "synthetic_polyps",
    "segcore.data.sets.synthetic_polyps:SyntheticPolyps",
    "procedural colonoscopy scenes with a lobed polyp",
    lacks=("depth maps",),
)
DATASETS.add(
    "synthetic_organs",
    "segcore.data.sets.synthetic_organs:SyntheticOrgans",
    "procedural CTs of the abdomen with thirteen organs, as NIfTI",
    lacks=("depth maps",),
)
DATASETS.add(
    "synthetic_aerial",
    "segcore.data.sets.synthetic_aerial:SyntheticAerial",
    "procedural fields from above with up to three salient objects, or none",
    lacks=("depth maps",),
)
DATASETS.add(
    "l3d",
    "segcore.data.sets.l3d:L3D",
    "L3D: liver landmarks of 39 patients as labelme polylines, with depth",
)
DATASETS.add(
    "l3d_2k",
    "segcore.data.sets.l3d_2k:L3D2K",
    "L3D-2K: the larger L3D, in the layout of D2GPLand+",
)
DATASETS.add(
    "llsd",
    "segcore.data.sets.llsd:LLSD",
    "LLSD: liver landmarks as colour masks, a folder per patient, no depth",
    lacks=("depth maps",),
)
DATASETS.add(
    "p2ilf",
    "segcore.data.sets.p2ilf:P2ILF",
    "P2ILF: liver landmarks of 9 patients as polylines, a folder per patient, no depth",
    lacks=("depth maps",),
)
DATASETS.add(
    "kvasir_sessile",
    "segcore.data.sets.kvasir_sessile:KvasirSessile",
    "Kvasir-Sessile: 196 sessile polyps, binary masks, no depth",
    lacks=("depth maps",),
)
DATASETS.add(
    "cvc_clinicdb",
    "segcore.data.sets.cvc_clinicdb:CVCClinicDB",
    "CVC-ClinicDB: 612 polyp frames of 29 sequences, split by sequence, no depth",
    lacks=("depth maps",),
)
for _name, _class, _about in (
    ("orssd", "ORSSD", "ORSSD: salient objects in remote sensing, 600 + 200 images"),
    ("eorssd", "EORSSD", "EORSSD: the extended ORSSD, 1400 + 600 images"),
    ("orsi_4199", "ORSI4199", "ORSI-4199: salient objects in remote sensing, 2000 + 2199 images"),
    ("camo", "CAMO", "CAMO: camouflaged animals and people, 1000 + 250 images"),
    ("cod10k", "COD10K", "COD10K: camouflaged animals, 3040 + 2026 images"),
):
    DATASETS.add(
        _name, f"segcore.data.sets.salient_objects:{_class}", _about, lacks=("depth maps",)
    )
DATASETS.add(
    "bcv",
    "segcore.data.sets.bcv:BCV",
    "BCV (BTCV, Synapse): 30 abdominal CTs with 13 organs",
    lacks=("depth maps",),
)
DATASETS.add(
    "bcv_transunet",
    "segcore.data.sets.bcv_transunet:BCVTransUNet",
    "BCV as TransUNet prepared it: slices and volumes of 8 organs",
    lacks=("depth maps",),
)
DATASETS.add(
    "amos",
    "segcore.data.sets.amos:AMOS",
    "AMOS22: abdominal CTs, or MRs, with 15 organs",
    lacks=("depth maps",),
)
DATASETS.add(
    "nifti_folder",
    "segcore.data.sets.nifti_folder:NiftiFolder",
    "any folder of NIfTI volumes and labels, described by its fields",
    lacks=("depth maps",),
)
DATASETS.add(
    "nnunet",
    "segcore.data.sets.nnunet:NnUnet",
    "a folder DatasetNNN_NAME in nnU-Net's raw layout, volumes or pictures",
    lacks=("depth maps",),
)
DATASETS.add(
    "folder",
    "segcore.data.sets.folder:Folder",
    "any folder of images and mask pictures, described by its fields",
)

"""The data sets, one file each; `segcore.data` has the table of them.

amos             AMOS22: CTs and MRs of the abdomen with 15 organs, as NIfTI.
bcv              BCV: 30 CTs of the abdomen with 13 organs, as NIfTI.
bcv_transunet    BCV as TransUNet prepared it: slices and volumes of 8 organs.
cvc_clinicdb     CVC-ClinicDB: 612 colonoscopy frames of 29 sequences, with masks of the polyp.
d2gpland_truth   L3D's landmarks as D2GPLand's loader draws them (PJLallen/D2GPLand, 1425de5, and
                 alike the first code of SRFT-GaLore, mobarakol/SRFTGaLore_LiverLandmark, efcd190,
                 utils/dataloader.py).
folder           `folder`: any folder of images and mask pictures, described by its configuration.
kvasir_sessile   Kvasir-Sessile: 196 colonoscopy images of sessile and flat polyps, with masks.
l3d              L3D: laparoscopic frames with liver landmarks as polylines, and a depth map each.
l3d_2k           L3D-2K: the larger successor of L3D, in the layout that D2GPLand+ reads.
l3d_index        The files of a folder in L3D's layout.
llsd             LLSD: laparoscopic frames with landmarks as colour masks, one folder per patient.
nifti_folder     `nifti_folder`: any folder of volumes and labels, described by its
                  configuration.
nnunet           `nnunet`: a data set in nnU-Net's raw layout, volumes or pictures.
p2ilf            P2ILF: laparoscopic frames with liver landmarks as polylines in XML, one folder per
                 patient.
salient_objects  Salient and camouflaged objects: ORSSD, EORSSD, ORSI-4199, CAMO, COD10K.
synthetic_aerial  `synthetic_aerial`: rendered fields with salient objects, masks beside images.
synthetic_liver   `synthetic_liver`: rendered scenes in L3D's own layout, read back by L3D's
                  reader.
synthetic_organs  `synthetic_organs`: rendered CTs, saved as NIfTI and read as any such folder.
synthetic_polyps  `synthetic_polyps`: rendered scenes of polyps, masks beside images, read as any
                  such folder.
"""

"""Images in (NIfTI, NRRD, MetaImage, DICOM series); images, labelmaps and segmentations out."""

from medcontext.geometry import describe
from medcontext.io.atomic import replacing
from medcontext.io.dicom_folder import scan_folder
from medcontext.io.images import fit_labelmap, read_image, read_labelmap, read_volume
from medcontext.io.names import FORMATS, ImageSource, case_id, find_images
from medcontext.io.segmentation import read_segmentation, write_segmentation
from medcontext.io.write import write_labelmap, write_volume

__all__ = [
    "FORMATS",
    "ImageSource",
    "case_id",
    "describe",
    "find_images",
    "fit_labelmap",
    "read_image",
    "read_labelmap",
    "read_segmentation",
    "read_volume",
    "replacing",
    "scan_folder",
    "write_labelmap",
    "write_segmentation",
    "write_volume",
]

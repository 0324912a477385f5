#!/bin/sh
# Makes an environment with nnU-Net beside that of the project: sh make_environment.sh FOLDER
# timm asks for torchvision, which nnU-Net's U-Nets do not need and which has no CPU build for every torch.
set -e
python3 -m venv "$1"
"$1/bin/pip" install -q torch==2.13.0
"$1/bin/pip" install -q --no-deps nnunetv2==2.8.1 dynamic-network-architectures==0.4.4 "timm<1.0.23" batchgeneratorsv2 fft-conv-pytorch
"$1/bin/pip" install -q torch==2.13.0 "acvl-utils<0.3" batchgenerators "blosc2>=3.3.2" einops graphviz huggingface_hub imagecodecs \
    matplotlib nibabel pandas pyyaml requests safetensors scikit-image scikit-learn scipy seaborn SimpleITK tifffile tqdm yacs

# On a CPU:
#   docker build -t orefield .
#   docker run --rm -v "$PWD:/work" orefield train tankard --seconds 40
# On an NVIDIA GPU (the driver and nvidia-container-toolkit are the host's; torch brings CUDA):
#   docker build -t orefield:cuda --build-arg BASE=nvidia/cuda:12.8.1-base-ubuntu24.04 --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cu128 .
#   docker run --rm --gpus all -v "$PWD:/work" orefield:cuda doctor
# The viewer: add  -p 7007:7007  and  --viewer --viewer-host 0.0.0.0 --viewer-port 7007
ARG BASE=debian:bookworm-slim
FROM ${BASE}

RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 python3-venv \
    && rm -rf /var/lib/apt/lists/*

ENV PATH=/opt/orefield/bin:$PATH PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/orefield

ARG TORCH=torch
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN pip install --index-url ${TORCH_INDEX} ${TORCH}

COPY . /src
RUN pip install "/src[video,viewer,export,colmap]" && rm -rf /src

# Numba's cache, for whichever user the container runs as.
RUN mkdir -m 1777 /cache
ENV NUMBA_CACHE_DIR=/cache
WORKDIR /work
ENTRYPOINT ["orefield"]
CMD ["--help"]

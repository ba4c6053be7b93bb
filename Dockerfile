# syntax=docker/dockerfile:1
# tensord's server alone: itself, its libraries and certificates. No Python, no compiler, no shell.
#
#   docker build -t tensord .
#   docker run --rm --read-only -p 127.0.0.1:50051:50051 -e TENSORD_INSECURE=true tensord
#
# With CUDA, whose compiler comes from an image of NVIDIA's; the driver comes with the container runtime:
#
#   docker build --build-arg CUDA_IMAGE=nvidia/cuda:12.8.1-devel-ubuntu22.04 -t tensord:0.1.0-cuda .
#
# Debian 12, or a mirror's copy of it.
ARG BASE_IMAGE=debian:bookworm-slim
# One with CUDA 12.8 or later in /usr/local/cuda, for a server with CUDA.
ARG CUDA_IMAGE=scratch

FROM ${CUDA_IMAGE} AS cuda

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY deploy/packages.txt deploy/packages.txt
RUN apt-get update -q \
 && grep -v '^#' deploy/packages.txt \
    | xargs env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends
COPY . .
# What was compiled before is kept between builds; builds with another locale do not share it.
ARG CCACHE_DIR=/var/cache/ccache
ARG LANG=C.UTF-8
# The compute capabilities that the kernels are compiled for, as CMAKE_CUDA_ARCHITECTURES.
ARG CUDA_ARCHS="75-real;80-real;90-real;100"
RUN --mount=type=cache,target=/var/cache/ccache --mount=type=bind,from=cuda,target=/cuda \
    nvcc=/cuda/usr/local/cuda/bin/nvcc cudart= \
 && set -- -DTENSORD_CUDA=OFF \
 && if [ -e $nvcc ]; then \
      cudart=$($nvcc --version | sed -n 's/.* V//p'); \
      set -- -DTENSORD_CUDA=ON -DCMAKE_CUDA_COMPILER=$nvcc "-DTENSORD_CUDA_ARCHS=$CUDA_ARCHS"; \
    fi \
 && export CCACHE_DIR CCACHE_BASEDIR=/src CCACHE_NOHASHDIR=1 \
 && cmake -S . -B build/release -G Ninja -DCMAKE_BUILD_TYPE=Release -DTENSORD_TESTS=OFF "$@" \
 && cmake --build build/release --target tensord \
 && deploy/image_files.py build/release/bin/tensord /image/runtime $cudart

FROM scratch
COPY --from=build /image/runtime/ /
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tensord" \
      org.opencontainers.image.description="A tensor daemon" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENV PATH=/usr/local/bin \
    TENSORD_LISTEN=0.0.0.0:50051 \
    TENSORD_METRICS_LISTEN=0.0.0.0:9464 \
    TENSORD_LOG_FORMAT=json
# Nobody in particular: needs no account in the image and no right on its files.
USER 65532:65532
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=4s --start-period=5s --retries=3 CMD ["tensord", "--probe"]
ENTRYPOINT ["tensord"]

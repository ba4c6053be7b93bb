# syntax=docker/dockerfile:1
# tensord's server alone: no Python, no compiler, no shell needed to run it.
#
#   docker build -t tensord .
#   docker run --rm -p 127.0.0.1:50051:50051 tensord --insecure

FROM debian:bookworm-slim AS build
WORKDIR /src
COPY deploy/packages.txt deploy/packages.txt
RUN apt-get update -q \
 && grep -v '^#' deploy/packages.txt \
    | xargs env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends
COPY CMakeLists.txt ./
COPY deploy/cmake deploy/cmake
COPY proto proto
COPY core core
COPY client client
COPY server server
RUN cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTENSORD_TESTS=OFF \
 && cmake --build build --target tensord \
 && strip build/bin/tensord
# The shared libraries that the base image lacks. Real paths, because /lib is a link to /usr/lib.
RUN ldd build/bin/tensord | awk '$3 ~ /^\// {print $3}' \
    | grep -vE '/(libc|libm|libgcc_s|libstdc\+\+)\.so' \
    | while read -r lib; do install -D "$lib" "/runtime$(realpath "$(dirname "$lib")")/$(basename "$lib")"; done \
 && install -D build/bin/tensord /runtime/usr/local/bin/tensord

FROM debian:bookworm-slim
COPY --from=build /runtime/ /
# Nobody in particular: needs no account in the image and no right on its files.
USER 65532:65532
EXPOSE 50051 9464
ENV TENSORD_LISTEN=0.0.0.0:50051 \
    TENSORD_METRICS_LISTEN=0.0.0.0:9464 \
    TENSORD_LOG_FORMAT=json
STOPSIGNAL SIGTERM
ENTRYPOINT ["tensord"]

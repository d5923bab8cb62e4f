# Two stages on debian:12-slim: the first builds, the second holds the program and the shared libraries it needs.
# With --build-arg ONEDNN=libdnnl2 the image holds oneDNN too (40 MB more), which jobs load for large networks and for products in bfloat16.
#   docker build -t backpropd . && docker run -p 8080:8080 -v backpropd:/data -v ./key:/run/secrets/backpropd.key:ro backpropd
FROM debian:12-slim AS build
RUN apt-get update -q && apt-get install -y -q --no-install-recommends make ca-certificates && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY Makefile ./
COPY tests/deps.sh tests/deps.sh
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $(make -s print-deps-build)
COPY engine engine
COPY schema schema
COPY server server
COPY clients/dashboard clients/dashboard
COPY clients/examples/penguins.csv clients/examples/penguins.csv
RUN make -j"$(nproc)" CFLAGS=-O3 && strip build/backpropd

FROM debian:12-slim
ARG ONEDNN=
RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        libmicrohttpd12 libjansson4 libsqlite3-0 libopenblas0-pthread libseccomp2 libgnutls30 libnettle8 libzstd1 zlib1g libcurl3-gnutls $ONEDNN \
    && rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/* \
    && useradd --system --uid 990 --home-dir /data --shell /usr/sbin/nologin backpropd \
    && install -d -o backpropd -g backpropd -m 700 /data
COPY --from=build /src/build/backpropd /usr/local/bin/backpropd
USER backpropd
VOLUME /data
EXPOSE 8080
# The key file must exist: without a key the server does not listen beyond loopback.
ENV BACKPROPD_LISTEN=0.0.0.0:8080 \
    BACKPROPD_DATA_DIR=/data \
    BACKPROPD_API_KEY_FILE=/run/secrets/backpropd.key
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["backpropd", "doctor", "--ready", "--url", "http://127.0.0.1:8080"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["backpropd"]
CMD ["serve"]

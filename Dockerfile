# Untested: no image has been built from this file yet.
# docker build -t bep . && docker run --rm -v "$PWD/out:/work" bep                    # the quickstart, into out/quickstart
# docker run --rm -v "$PWD:/work" bep train bigearthnet-store --out run               # any other command
FROM python:3.11-slim-bookworm

# libgomp1: OpenMP for torch and numba; libexpat1: for GDAL in the wheel of rasterio.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 libgomp1 \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt requirements-build.txt ./
COPY shards shards
COPY trainer trainer
COPY bigearth_pipeline bigearth_pipeline
# The builds of torch and DALI are those for CUDA 13, which run on a CPU, too; start with --gpus all for a GPU.
RUN pip install --no-cache-dir --constraint constraints.txt '.[report,cloud]'

# Not root; numba keeps what it compiles in the home of this user. Mounted folders must be writable for its number, 1000.
RUN useradd --create-home --uid 1000 bep && mkdir /work && chown bep /work
USER bep
WORKDIR /work
ENTRYPOINT ["bep"]
CMD ["quickstart"]

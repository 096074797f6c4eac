# pae on a CPU, as a user without rights, with the shipped models; a folder of images is mounted at /data:
#   docker build -t pae .
#   docker run --rm -v "$PWD:/data" pae ood incoming/ --json
#   docker run --rm -v "$PWD:/data" pae watch incoming/ --jsonl answers.jsonl
# It writes as user 1000; elsewhere add `--user "$(id -u):$(id -g)" -e HOME=/tmp`.
FROM python:3.11-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
# `--build-arg PIP_OPTIONS=...` may name PyTorch's index of wheels without CUDA, which are much smaller
ARG PIP_OPTIONS=
RUN python -m venv /opt/pae \
 && /opt/pae/bin/pip install --no-cache-dir --constraint constraints.txt $PIP_OPTIONS '.[watch]'

FROM python:3.11-slim
RUN useradd --create-home --uid 1000 pae
COPY --from=build /opt/pae /opt/pae
USER pae
WORKDIR /data
ENTRYPOINT ["/opt/pae/bin/pae"]
CMD ["--help"]

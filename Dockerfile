# Two stages: the first builds the wheel and the environment from the pinned, hashed requirements; the
# second has that environment, an unprivileged user and nothing that compiles or installs.
#
#   docker build --tag stafett .
#   docker run --publish 127.0.0.1:8071:8071 --volume stafett:/data stafett

ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# What changes seldom comes first, so that a change of the source installs nothing anew.
COPY requirements/build.txt requirements/npm.txt requirements/runtime.txt requirements/
RUN python -m venv /opt/builder \
 && /opt/builder/bin/pip install --require-hashes --requirement requirements/build.txt \
      --requirement requirements/npm.txt \
 && python -m venv /opt/stafett \
 && /opt/stafett/bin/pip install --only-binary :all: --require-hashes \
      --requirement requirements/runtime.txt

# The build fetches the admin's scripts and styles from npm, by their hashes.
COPY pyproject.toml hatch_build.py package.json package-lock.json .npmrc README.md LICENSE ./
COPY src/ src/
RUN /opt/builder/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir dist . \
 && /opt/stafett/bin/pip install --no-deps --no-index dist/*.whl \
 && /opt/stafett/bin/pip check \
 && /opt/stafett/bin/pip uninstall --yes pip \
 && /opt/stafett/bin/stafett --version


FROM python:${PYTHON}-slim
LABEL org.opencontainers.image.title="stafett" \
      org.opencontainers.image.description="Durable, signed, retried webhooks" \
      org.opencontainers.image.licenses="Apache-2.0"

# The numbers are fixed, so that a volume or a secret can be given to them from outside.
RUN groupadd --system --gid 10001 stafett \
 && useradd --system --uid 10001 --gid 10001 --home-dir /data --no-create-home \
      --shell /usr/sbin/nologin stafett \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data

# Owned by root: who breaks into the process cannot change the program.
COPY --from=build /opt/stafett /opt/stafett
ENV PATH=/opt/stafett/bin:$PATH \
    STAFETT_HOST=0.0.0.0 \
    STAFETT_DATA=/data \
    STAFETT_LOG_FORMAT=json

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8071 8072

# The first SIGTERM lets what is under way end: give it as long (`docker stop --time 90`).
STOPSIGNAL SIGTERM

# Finds `stafett serve` through /data. For `stafett dispatch`, ask its own port: see deploy/.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["stafett", "health"]

ENTRYPOINT ["stafett"]
CMD ["serve"]

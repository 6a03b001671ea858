# The `reco` command; without arguments a worker. Built in two stages: the compiler stays behind.
FROM python:3.13-slim AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/reco
COPY requirements.lock /src/
RUN /opt/reco/bin/pip install --no-cache-dir --require-hashes -r /src/requirements.lock
COPY pyproject.toml README.md LICENSE /src/
COPY deploy/kafka /src/deploy/kafka
COPY deploy/compile_cpp.py /src/deploy/
COPY reco_stream /src/reco_stream
COPY agents /src/agents
COPY tables /src/tables
COPY web /src/web
RUN /opt/reco/bin/pip install --no-cache-dir --no-deps /src

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/reco --create-home reco
COPY --from=build /opt/reco /opt/reco
ENV PATH=/opt/reco/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    RECO_DATA_DIR=/var/lib/reco \
    RECO_WEB_HOST=0.0.0.0
USER 10001
WORKDIR /var/lib/reco
VOLUME /var/lib/reco
EXPOSE 6066
ENTRYPOINT ["reco"]
CMD ["worker"]

# IMAGE_PREFIX: what stands before the names of images on Docker Hub where that
# cannot be reached, with its slash at the end.
ARG IMAGE_PREFIX=

FROM --platform=$BUILDPLATFORM ${IMAGE_PREFIX}library/golang:1.26.8-alpine AS build
# GOPROXY: the module proxy, where Go's own cannot be reached.
ARG GOPROXY
ARG VERSION=dev REVISION= BRANCH= BUILD_DATE=
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY . .
# Without `go mod download`: it fetches what only the tests need, Prometheus among it.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -buildvcs=false \
      -ldflags "-s -w \
        -X github.com/prometheus/common/version.Version=$VERSION \
        -X github.com/prometheus/common/version.Revision=$REVISION \
        -X github.com/prometheus/common/version.Branch=$BRANCH \
        -X github.com/prometheus/common/version.BuildUser=docker \
        -X github.com/prometheus/common/version.BuildDate=$BUILD_DATE" \
      -o feishu_attendance_exporter . \
    && mkdir state

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /usr/local/go/lib/time/zoneinfo.zip /usr/share/zoneinfo.zip
COPY --from=build /src/LICENSE /LICENSE
COPY --from=build /src/feishu_attendance_exporter /bin/
# A new volume takes its owner from here.
COPY --from=build --chown=65534:65534 /src/state /var/lib/feishu_attendance_exporter
ENV ZONEINFO=/usr/share/zoneinfo.zip
USER 65534:65534
EXPOSE 10059
HEALTHCHECK --interval=15s --timeout=6s --start-period=10s \
    CMD ["/bin/feishu_attendance_exporter", "--web.probe=http://127.0.0.1:10059/-/healthy"]
ENTRYPOINT ["/bin/feishu_attendance_exporter"]
CMD ["--config.file=/etc/feishu_attendance_exporter/config.yml", "--state.file=/var/lib/feishu_attendance_exporter/state"]

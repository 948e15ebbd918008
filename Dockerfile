# The image that charts/dormouse runs: docker build -t REGISTRY/dormouse:0.1.0 .
# Runs as nobody and with a read-only root file system; what it writes while it runs goes to /tmp at most.

FROM node:26-bookworm-slim AS build
WORKDIR /dormouse
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-progress
COPY bin ./bin
COPY scripts ./scripts
COPY src ./src
COPY tsconfig.json ./
RUN npm run build && rm -rf node_modules \
  # Without the optional ones: the Node that the package brings along is the image's own here.
  && npm ci --ignore-scripts --omit=dev --omit=optional --no-progress

FROM node:26-bookworm-slim
# No package manager in what runs: nothing is installed there.
RUN rm -rf /usr/local/lib/node_modules /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /opt/yarn* /usr/local/bin/yarn*
WORKDIR /dormouse
COPY --from=build /dormouse/package.json ./
COPY --from=build /dormouse/node_modules ./node_modules
COPY --from=build /dormouse/dist ./dist
COPY charts/dormouse/crds ./charts/dormouse/crds
COPY charts/rendered ./charts/rendered
COPY LICENSE ./
# The programs of the queue demo: worker, producer, figures.
COPY examples/queue-demo ./examples/queue-demo
ENV NODE_ENV=production
USER 65532:65532
ENTRYPOINT ["node", "/dormouse/dist/commands/main.js"]
CMD ["help"]

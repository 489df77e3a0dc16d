# docker build -f k8s/images/worker.Dockerfile -t disttune/worker:0.1.0-cuda .
# For nodes without a GPU: --build-arg TORCH_RUNTIME=TorchSharp-cpu
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG TORCH_RUNTIME=TorchSharp-cuda-linux
WORKDIR /source
COPY . .
RUN dotnet publish src/DistTune.Worker -c Release -r linux-x64 --no-self-contained \
    -p:UseStandIns=false -p:TorchRuntime=$TORCH_RUNTIME -o /app

# The driver comes from the node, libtorch and CUDA's libraries with the package.
FROM mcr.microsoft.com/dotnet/aspnet:10.0
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY --from=build /app .
USER $APP_UID
EXPOSE 8080
ENTRYPOINT ["dotnet", "DistTune.Worker.dll"]

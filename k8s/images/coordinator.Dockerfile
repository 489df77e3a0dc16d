# docker build -f k8s/images/coordinator.Dockerfile -t disttune/coordinator:0.1.0 .
FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
WORKDIR /source
COPY . .
RUN dotnet publish src/DistTune.Coordinator -c Release -p:UseStandIns=false -o /app

FROM mcr.microsoft.com/dotnet/aspnet:10.0
WORKDIR /app
COPY --from=build /app .
USER $APP_UID
EXPOSE 8080 8081
ENTRYPOINT ["dotnet", "DistTune.Coordinator.dll"]

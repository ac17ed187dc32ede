/** Files that the build puts into the executable (`with { type: "file" }`): what is imported is the path to read them at. */
declare module "*/loaders/mbr.bin" {
  const path: string;
  export = path;
}
declare module "*/loaders/syslinux-boot-sector.bin" {
  const path: string;
  export = path;
}
declare module "*/loaders/ldlinux.sys" {
  const path: string;
  export = path;
}
declare module "*/loaders/ldlinux.c32" {
  const path: string;
  export = path;
}
declare module "*/loaders/systemd-bootx64.efi" {
  const path: string;
  export = path;
}

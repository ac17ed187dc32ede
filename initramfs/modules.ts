/**
 * The kernel modules that go into the initramfs: the one list, each line with its reason. What they depend on comes
 * along by itself. A pattern is a path below `kernel/` in the modules folder, without `.ko`; `*` stays inside a folder.
 * They are loaded by the hardware that is there (src/init/modules.ts), never all at once. A kernel that lacks one, or has
 * it built in, is fine.
 *
 * Left out on purpose: graphics, sound, wireless (firmware), Fibre Channel and iSCSI (a reimage has one local disk); network
 * cards that do not start without a firmware file, which Debian ships apart (bnx2, bnx2x, qede, cxgb4).
 */
export interface ModuleGroup {
  readonly reason: string;
  readonly patterns: readonly string[];
}

export const moduleGroups: readonly ModuleGroup[] = [
  { reason: "SATA and IDE disks", patterns: ["drivers/ata/*"] },
  { reason: "NVMe disks", patterns: ["drivers/nvme/host/nvme", "drivers/pci/controller/vmd"] },
  {
    reason: "SCSI disks, which SATA, USB and RAID disks are to the kernel; sg for identity queries",
    patterns: ["drivers/scsi/sd_mod", "drivers/scsi/sg"],
  },
  {
    reason: "virtual machines on KVM: disk, network card, bus, entropy, console",
    patterns: [
      "drivers/block/virtio_blk",
      "drivers/scsi/virtio_scsi",
      "drivers/net/virtio_net",
      "drivers/virtio/virtio_pci",
      "drivers/virtio/virtio_mmio",
      "drivers/char/hw_random/virtio-rng",
      "drivers/char/virtio_console",
    ],
  },
  {
    reason: "virtual machines on Hyper-V",
    patterns: [
      "drivers/hv/hv_vmbus",
      "drivers/scsi/hv_storvsc",
      "drivers/net/hyperv/hv_netvsc",
      "drivers/pci/controller/pci-hyperv",
      "drivers/input/serio/hyperv-keyboard",
    ],
  },
  {
    reason: "virtual machines on Xen",
    patterns: ["drivers/block/xen-blkfront", "drivers/net/xen-netfront", "drivers/scsi/xen-scsifront"],
  },
  {
    reason: "virtual machines on VMware, and the LSI controllers it emulates",
    patterns: [
      "drivers/scsi/vmw_pvscsi",
      "drivers/net/vmxnet3/vmxnet3",
      "drivers/message/fusion/mptspi",
      "drivers/message/fusion/mptsas",
    ],
  },
  { reason: "the SCSI controllers that QEMU and old Hyper-V guests have", patterns: ["drivers/scsi/sym53c8xx_2/*"] },
  {
    reason: "server RAID controllers and host bus adapters",
    patterns: [
      "drivers/scsi/megaraid/megaraid_sas",
      "drivers/scsi/mpt3sas/mpt3sas",
      "drivers/scsi/mpi3mr/mpi3mr",
      "drivers/scsi/hpsa",
      "drivers/scsi/smartpqi/smartpqi",
      "drivers/scsi/aacraid/aacraid",
      "drivers/scsi/arcmsr/arcmsr",
      "drivers/scsi/3w-*",
      "drivers/scsi/isci/isci",
      "drivers/scsi/pm8001/pm80xx",
      "drivers/scsi/mvsas/mvsas",
      "drivers/scsi/mvumi",
      "drivers/scsi/hptiop",
      "drivers/scsi/aic7xxx/*",
    ],
  },
  {
    reason: "USB: disks and sticks that hold the image, and a technician's keyboard",
    patterns: [
      "drivers/usb/host/xhci-pci",
      "drivers/usb/host/xhci-hcd",
      "drivers/usb/host/ehci-pci",
      "drivers/usb/host/ohci-pci",
      "drivers/usb/host/uhci-hcd",
      "drivers/usb/storage/usb-storage",
      "drivers/usb/storage/uas",
      "drivers/hid/hid-generic",
      "drivers/hid/usbhid/usbhid",
    ],
  },
  {
    reason: "SD cards and eMMC, the disks of small boxes",
    patterns: ["drivers/mmc/core/mmc_block", "drivers/mmc/host/sdhci-pci", "drivers/mmc/host/sdhci-acpi"],
  },
  {
    reason: "pins, clocks and I2C that eMMC and SD slots of Intel and AMD systems hang on",
    patterns: ["drivers/pinctrl/intel/*", "drivers/pinctrl/pinctrl-amd", "drivers/mfd/intel-lpss-*"],
  },
  {
    reason:
      "network cards of PCs, kiosks and small servers: Intel, Realtek, Broadcom, Atheros, Marvell, Nvidia, Aquantia",
    patterns: [
      "drivers/net/ethernet/intel/e100",
      "drivers/net/ethernet/intel/e1000/e1000",
      "drivers/net/ethernet/intel/e1000e/e1000e",
      "drivers/net/ethernet/intel/igb/igb",
      "drivers/net/ethernet/intel/igc/igc",
      "drivers/net/ethernet/realtek/*",
      "drivers/net/ethernet/broadcom/tg3",
      "drivers/net/ethernet/broadcom/b44",
      "drivers/net/ethernet/atheros/*/*",
      "drivers/net/ethernet/marvell/sky2",
      "drivers/net/ethernet/nvidia/forcedeth",
      "drivers/net/ethernet/jme",
      "drivers/net/ethernet/via/*",
      "drivers/net/ethernet/3com/3c59x",
      "drivers/net/ethernet/aquantia/atlantic/atlantic",
    ],
  },
  {
    reason: "network ports inside embedded Intel systems (Elkhart Lake) and on boards with a Microchip LAN743x",
    patterns: [
      "drivers/net/ethernet/stmicro/stmmac/dwmac-intel",
      "drivers/net/ethernet/microchip/lan743x",
      "drivers/net/pcs/pcs_xpcs",
    ],
  },
  {
    reason:
      "the transceivers behind those cards that leave them to a driver of their own (loaded by the kernel's request)",
    patterns: [
      "drivers/net/phy/realtek",
      "drivers/net/phy/broadcom",
      "drivers/net/phy/marvell",
      "drivers/net/phy/at803x",
      "drivers/net/phy/micrel",
      "drivers/net/phy/microchip",
      "drivers/net/phy/dp83867",
      "drivers/net/phy/smsc",
      "drivers/net/phy/ax88796b",
    ],
  },
  {
    reason: "network cards of servers: 10 gigabit and more, and their virtual functions",
    patterns: [
      "drivers/net/ethernet/intel/ixgbe/ixgbe",
      "drivers/net/ethernet/intel/ixgbevf/ixgbevf",
      "drivers/net/ethernet/intel/igbvf/igbvf",
      "drivers/net/ethernet/intel/i40e/i40e",
      "drivers/net/ethernet/intel/iavf/iavf",
      "drivers/net/ethernet/intel/ice/ice", // without its package of firmware in safe mode, which is enough
      "drivers/net/ethernet/broadcom/bnxt/bnxt_en",
      "drivers/net/ethernet/emulex/benet/be2net",
      "drivers/net/ethernet/cisco/enic/enic",
      "drivers/net/ethernet/mellanox/mlx4/mlx4_en",
      "drivers/net/ethernet/mellanox/mlx5/core/mlx5_core",
    ],
  },
  {
    reason: "network cards of clouds, and of virtual machines that emulate old ones",
    patterns: [
      "drivers/net/ethernet/amazon/ena/ena",
      "drivers/net/ethernet/google/gve/gve",
      "drivers/net/ethernet/microsoft/mana/mana",
      "drivers/net/ethernet/amd/pcnet32",
      "drivers/net/ethernet/dec/tulip/tulip",
    ],
  },
  {
    reason: "network adapters on USB, for boxes without a port of their own",
    patterns: [
      "drivers/net/usb/r8152",
      "drivers/net/usb/ax88179_178a",
      "drivers/net/usb/asix",
      "drivers/net/usb/aqc111",
      "drivers/net/usb/lan78xx",
      "drivers/net/usb/smsc75xx",
      "drivers/net/usb/smsc95xx",
      "drivers/net/usb/dm9601",
      "drivers/net/usb/mcs7830",
      "drivers/net/usb/cdc_ether",
      "drivers/net/usb/cdc_ncm",
    ],
  },
  { reason: "VLANs, as vlan= asks for them (loaded by the kernel's request)", patterns: ["net/8021q/8021q"] },
  {
    reason: "file systems of the old and the new OS, and the EFI system partition",
    patterns: ["fs/ext4/ext4", "fs/xfs/xfs", "fs/btrfs/btrfs", "fs/fat/vfat", "fs/isofs/isofs", "fs/squashfs/squashfs"],
  },
  {
    reason: "character sets that vfat mounts with, by default and in common fstabs",
    patterns: [
      "fs/nls/nls_ascii",
      "fs/nls/nls_cp437",
      "fs/nls/nls_cp850",
      "fs/nls/nls_iso8859-1",
      "fs/nls/nls_iso8859-15",
      "fs/nls/nls_utf8",
    ],
  },
  {
    reason: "checksums that file systems and SCSI ask for by name when they start, plain and accelerated",
    patterns: [
      "crypto/crc32c_generic",
      "crypto/crc32_generic",
      "crypto/crct10dif_*",
      "crypto/crc64*",
      "crypto/xxhash_generic",
      "crypto/blake2b_generic",
      "crypto/sha256_generic",
      "arch/x86/crypto/crc32*",
      "arch/x86/crypto/crct10dif*",
    ],
  },
  {
    reason: "old OS on LVM; test rigs use the same device-mapper",
    patterns: ["drivers/md/dm-mod", "drivers/md/dm-snapshot", "drivers/md/dm-thin-pool", "drivers/md/dm-mirror"],
  },
  {
    reason: "recognising an md array, so that a disk that belongs to one is refused",
    patterns: ["drivers/md/md-mod", "drivers/md/raid0", "drivers/md/raid1"],
  },
  { reason: "loop devices, for `reimage run` on images from the rescue shell", patterns: ["drivers/block/loop"] },
  {
    reason: "watchdogs, which reset a machine that hangs",
    patterns: [
      "drivers/watchdog/iTCO_wdt",
      "drivers/watchdog/sp5100_tco",
      "drivers/watchdog/i6300esb",
      "drivers/watchdog/hpwdt",
      "drivers/watchdog/w83627hf_wdt",
      "drivers/watchdog/it87_wdt",
      "drivers/watchdog/f71808e_wdt",
      "drivers/watchdog/wdat_wdt",
      "drivers/watchdog/softdog",
      "drivers/i2c/busses/i2c-i801", // iTCO_wdt's device appears behind it on newer chipsets
      "drivers/mfd/lpc_ich",
    ],
  },
  { reason: "EFI variables: the new OS gets a boot entry", patterns: ["fs/efivarfs/efivarfs"] },
  { reason: "the clock of the board (the kernel sets its own from it)", patterns: ["drivers/rtc/rtc-cmos"] },
];

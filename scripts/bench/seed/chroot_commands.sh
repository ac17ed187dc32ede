echo "Restoring retention list."
for f in `cut -f4 /tmp/retentionlist/metadata/savedperms`;
do
    if [ -d /tmp/retentionlist/data/`basename $f` ]; then
        cp -r -v /tmp/retentionlist/data/`basename $f` /$f
    fi
    if [ -f /tmp/retentionlist/data/`basename $f` ]; then
        cp -v /tmp/retentionlist/data/`basename $f` /$f
    fi
done

echo "Restoring file owners"
awk '{system("chown -v "$2":"$3" "$4)}' /tmp/retentionlist/metadata/savedperms
sleep 5
echo "Restoring file permissions"
awk '{system("chmod -v "$1" " $4)}' /tmp/retentionlist/metadata/savedperms
sleep 5

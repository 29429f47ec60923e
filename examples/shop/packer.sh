# A packer takes orders, one at a time, and packs them. It finishes the one at
# hand before it goes.
orders=${ORDERS:-orders}
me=${GAFFER_SLOT:-1}
stop=
trap 'stop=yes' TERM

mkdir -p "$orders"
echo "waiting for orders"
while [ -z "$stop" ]; do
	for order in "$orders"/*.order; do
		# Of two packers, one succeeds to rename an order.
		mv "$order" "$order.$me" 2>/dev/null || continue
		echo "packing ${order##*/}"
		sleep 2
		rm "$order.$me"
		echo "packed ${order##*/}"
		break
	done
	sleep 1
done
echo "going home"
